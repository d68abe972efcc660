target "default" {
  args = { A = element([], 1) }
}
