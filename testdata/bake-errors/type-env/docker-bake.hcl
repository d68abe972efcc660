variable "N" {
  type = list(number)
}
target "default" {}
