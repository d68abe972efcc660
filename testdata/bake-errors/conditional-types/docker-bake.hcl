target "default" {
  args = { A = true ? [1] : "x" }
}
