target "web" {
  args = { A = "1" }
  tags = ["web:1"]
  output = ["type=docker"]
  platforms = ["linux/amd64"]
  cache-from = ["web:cache"]
}
target "webhook" { inherits = ["web"] }
target "db" { contexts = { x = "y" } }
