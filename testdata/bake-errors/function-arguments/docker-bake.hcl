target "default" {
  args = { A = upper() }
}
