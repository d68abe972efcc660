group "default" { targets = ["all", "one"] }
group "all" {
  description = "everything"
  targets = ["one", "two", "inner"]
}
group "inner" { targets = ["three"] }
target "one" { context = "./one" }
target "two" {}
target "three" { dockerfile = "three/Dockerfile" }
target "four" {}
