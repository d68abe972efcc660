target "frontend" {}
