function "increment" {
  params = [number]
  result = number + 1
}
function "tag" {
  params = [name]
  variadic_params = more
  result = concat(["${name}:latest"], [for m in more : "${name}:${m}"])
}
function "twice" {
  params = [x]
  result = increment(increment(x))
}
function "constant" {
  params = []
  result = PREFIX
}
variable "PREFIX" { default = "p" }
target "default" {
  args = { a = increment(4), b = twice(1), c = constant(), d = PREFIX }
  tags = concat(tag("app"), tag("lib", "1", "2"), tag("x", ["3", "4"]...))
}
