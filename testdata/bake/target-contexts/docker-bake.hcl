group "default" { targets = ["app"] }
target "app" {
  contexts = { base = "target:base", tools = "target:tools", src = "./src" }
  platforms = ["linux/amd64"]
}
target "base" {
  contexts = { tools = "target:tools" }
  output = ["type=registry"]
  entitlements = ["network.host"]
}
target "tools" { network = "host" }
