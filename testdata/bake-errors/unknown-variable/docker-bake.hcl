variable "VERSION" {}
target "default" {
  tags = ["app:${VERSON}"]
}
