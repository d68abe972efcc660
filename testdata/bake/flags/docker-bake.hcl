target "default" { args = { A = "b" } }
