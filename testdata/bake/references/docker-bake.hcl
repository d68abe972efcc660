target "foo" {
  dockerfile = "foo.Dockerfile"
  args = { V = "${target.bar.args.V}-foo" }
  tags = target.bar.tags
  labels = { n = target.bar.context == null ? "none" : "some" }
}
target "bar" {
  args = { V = "bar" }
  tags = ["bar:${target.foo.dockerfile}"]
  output = ["type=local,dest=o"]
}
target "baz" {
  args = { D = target.bar.output[0].dest }
  inherits = ["foo"]
}
