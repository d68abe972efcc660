base = "r.example/x"
versions = { a = "1", b = "2" }
target "default" {
  name = "app-${k}"
  matrix = { k = keys(versions) }
  tags = ["${base}:${versions[k]}"]
}
