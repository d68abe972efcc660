variable "V" { default = "hcl" }
target "a" {
  args = { H = "hcl", J = "hcl" }
  tags = ["a:hcl"]
}
