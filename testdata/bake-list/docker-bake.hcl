variable "REGISTRY" {
  description = "where images go"
  default = "docker.io/library"
}
variable "PLAIN" {}
variable "COUNT" {
  type = number
  default = 3
}
variable "NAMES" {
  type = list(string)
  default = ["a", "b<c"]
}
variable "OPTIONS" {
  type = object({ a = string, b = list(number) })
}
variable "TUPLE" {
  default = ["x", 1, true]
}
variable "FLAG" {
  type = bool
  default = false
}
group "default" {
  targets = ["web", "api"]
}
group "all" {
  description = "Everything there is"
  targets = ["web", "api", "tools"]
}
target "_common" {}
target "api" { description = "The API" }
target "web" {}
target "tools" {
  name = "tools-${v}"
  matrix = { v = ["b", "a"] }
  description = "Tools in version ${v}"
}
