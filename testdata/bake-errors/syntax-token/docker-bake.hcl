target "a" {
  tags = ["x" "y"]
}
