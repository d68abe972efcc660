group "default" {
  matrix = { v = ["1"] }
  targets = []
}
