target "a" {
  tags = ["x"]
  tags = ["y"]
}
