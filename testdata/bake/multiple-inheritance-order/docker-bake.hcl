target "x" {
  args = { V = "x" }
  tags = ["x"]
}
target "y" {
  inherits = ["x"]
  args = { V = "y" }
}
target "z" {
  inherits = ["x"]
  tags = ["z"]
  output = [{ type = "local", dest = "dest" }, "dir", "type=tar,dest=x.tar"]
}
target "default" {
  inherits = ["y", "z"]
}
