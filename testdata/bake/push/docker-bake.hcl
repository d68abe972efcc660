target "none" { tags = ["n"] }
target "docker" { output = ["type=docker"] }
target "image" { output = ["type=image,name=x"] }
target "local" { output = ["type=local,dest=o"] }
target "tarfile" { output = ["type=docker,dest=o.tar"] }
