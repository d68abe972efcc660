target "a" { args = { Z = "hcl" } }
group "extra" { targets = ["b"] }
