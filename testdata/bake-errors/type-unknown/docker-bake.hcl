variable "N" {
  type = integer
}
target "default" {}
