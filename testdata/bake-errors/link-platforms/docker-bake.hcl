target "a" {
  contexts = { x = "target:b" }
  platforms = ["linux/amd64", "linux/arm64"]
}
target "b" {
  platforms = ["linux/amd64", "linux/386"]
}
