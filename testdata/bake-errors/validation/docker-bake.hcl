variable "PORT" {
  type = number
  default = 80
  validation {
    condition = PORT > 1024
    error_message = "The port ${PORT} is privileged."
  }
}
target "default" {}
