group "web-all" { targets = ["db"] }
target "web-a" {}
target "web-b" {}
target "db" {}
