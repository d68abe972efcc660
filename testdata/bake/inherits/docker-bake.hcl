target "a" {
  description = "from a"
  args = { X = "a", ONLY_A = "1" }
  labels = { l = "a" }
  tags = ["a:1", "a:2"]
  platforms = ["linux/amd64"]
  cache-from = ["type=registry,ref=c/a", "c/b,c/d"]
  cache-to = ["type=inline"]
  output = ["type=registry"]
  secret = ["id=s,src=a.txt", { id = "t", env = "T" }]
  ssh = ["default", "key"]
  no-cache-filter = ["x", "y"]
  ulimits = ["nofile=1024:1024"]
  entitlements = ["security.insecure"]
  annotations = ["index:k=v"]
  attest = ["type=provenance,mode=max", { type = "sbom", disabled = true }]
  contexts = { one = "docker-image://alpine", gone = "x" }
  extra-hosts = { h = "1.2.3.4" }
  pull = true
  shm-size = "64m"
}
target "b" {
  inherits = ["a"]
  args = { X = "b", NULL = null }
  tags = ["b:1", "b:1", ""]
  secret = ["type=env,id=s,env=OTHER"]
  ssh = [{ id = "key" }, "third"]
  no-cache-filter = ["x", "z"]
  cache-from = ["type=registry,ref=c/a"]
  attest = ["type=provenance,disabled=true"]
  annotations = ["index:k=v", "m=w"]
  contexts = { gone = "" }
  network = "host"
  no-cache = true
}
target "c" { args = { X = "c", Y = "c" } }
target "d" {
  inherits = ["b", "c"]
  target = "stage"
  call = "check"
  dockerfile = ""
  args = { Z = "$${not} %%{this}" }
}
