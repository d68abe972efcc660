target "default" {
  tags = [target.other.labels.x]
}
target "other" {}
