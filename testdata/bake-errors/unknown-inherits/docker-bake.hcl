target "default" {
  inherits = ["base"]
}
