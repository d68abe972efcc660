variable "ENVIRONMENT" {
  default = "dev"
  validation {
    condition = contains(["dev", "prod"], ENVIRONMENT)
    error_message = "must be dev or prod"
  }
  validation {
    condition = length(regexall("^[a-z]+$", ENVIRONMENT)) > 0
    error_message = "lower case"
  }
}
target "default" { args = { E = ENVIRONMENT } }
