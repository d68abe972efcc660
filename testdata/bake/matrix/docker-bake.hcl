group "default" { targets = ["app"] }
target "app" {
  name = "app-${tgt}-${replace(ver, ".", "-")}"
  matrix = {
    tgt = ["lint", "test"]
    ver = ["1.0", "2.0"]
  }
  target = tgt
  args = { VERSION = ver }
  tags = ["app:${ver}"]
}
target "single" {
  name = "s-${item.name}"
  matrix = { item = [{ name = "x", port = 1 }, { name = "y", port = 2 }] }
  inherits = ["base"]
  args = { PORT = item.port }
  contexts = { other = "target:app-${"lint"}-1-0" }
}
target "base" { labels = { l = "1" } }
