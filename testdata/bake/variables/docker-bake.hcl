variable "PLAIN" {}
variable "TEXT" { default = "t" }
variable "NUMBER" { default = 3 }
variable "FLAG" { default = false }
variable "FROM_ENV" { default = "no" }
variable "NUM_ENV" { default = 1 }
variable "FLAG_ENV" { default = false }
variable "OTHER" { default = "${TEXT}-${NUMBER}" }
variable "TYPED" { type = string }
variable "LIST" {
  type = list(string)
  default = ["a", "b"]
}
variable "LIST_ENV" {
  type = list(string)
  default = ["a"]
}
variable "NUMBERS" {
  type = list(number)
}
variable "SET" {
  type = set(string)
  default = ["z", "a", "z"]
}
variable "MAP" {
  type = map(string)
  default = {}
}
variable "OBJECT" {
  type = object({ name = string, size = optional(number) })
  default = { name = "n" }
}
variable "TUPLE" {
  type = tuple([string, number, bool])
}
variable "JSON" {
  type = list(object({ a = string }))
  default = []
}
local_a = "${TEXT}!"
local_b = [for x in LIST : upper(x)]
target "default" {
  args = {
    PLAIN = "[${PLAIN}]"
    TEXT = TEXT
    NUMBER = NUMBER
    FLAG = FLAG
    FROM_ENV = FROM_ENV
    NUM_ENV = NUM_ENV + 1
    FLAG_ENV = FLAG_ENV ? "on" : "off"
    OTHER = OTHER
    TYPED_NULL = TYPED == null ? "null" : "not"
    LIST_ENV = join("|", LIST_ENV)
    NUMBERS = join(",", [for n in NUMBERS : n * 2])
    SET = join(",", SET)
    MAP = jsonencode(MAP)
    OBJECT = "${OBJECT.name}${OBJECT.size == null ? 7 : 8}"
    TUPLE = jsonencode(TUPLE)
    JSON = join("", JSON[*].a)
    LOCAL = local_a
    LOCALS = join(",", local_b)
    PLATFORM = BAKE_LOCAL_PLATFORM
    CONTEXT = BAKE_CMD_CONTEXT
  }
  tags = LIST
}
