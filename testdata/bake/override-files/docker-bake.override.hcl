group "default" { targets = ["b", "a"] }
target "a" { args = { O = V } }
target "b" { inherits = ["a"] }
