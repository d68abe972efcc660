variable "E" { default = "" }
n = 10
o = { a = { b = [1, 2, { c = "deep" }] }, "k-e y" = 1, (E == "" ? "dyn" : "x") = "d" }
target "default" {
  args = {
    arithmetic = (1 + 2) * 3 - 4 / 8
    modulo = -7 % 3
    third = 1 / 4
    big = 12345678901234567890 + 1
    negative = -n
    compare = 1 < 2 && 2 >= 2 || false
    not = !true
    equal = "1" == 1
    deep = o.a.b[2].c
    index = o["k-e y"]
    legacy = o.a.b.0
    dynamic = o.dyn
    conditional = E != "" ? "set" : "empty"
    mixed = true ? 1 : "x"
    nested = "a${true ? "b${n}c" : "d"}e"
    escapes = "tab\there \"quoted\" \\ \u00e9"
    dollar = "$${kept} %%{kept} $x 100%"
    splat = join(",", [{ v = 1 }, { v = 2 }][*].v)
    attrsplat = join(",", [{ v = 1 }, { v = 2 }].*.v)
    forlist = join(",", [for i, v in ["x", "y", "z"] : "${i}${v}" if v != "y"])
    forobject = jsonencode({ for k, v in { a = 1, b = 2 } : upper(k) => v * 10 })
    forgroup = jsonencode({ for v in ["aa", "ab", "b"] : substr(v, 0, 1) => v... })
    ifdirective = "%{ if n > 5 }big%{ else }small%{ endif }!"
    fordirective = "%{ for i, x in ["p", "q"] }${i}=${x};%{ endfor }"
    multiline = [
      "a", # comment
      "b", // another
      /* and a third */ "c",
    ][1]
    number = 1.50
    bool = true
    nothing = null
  }
  dockerfile-inline = <<-EOT
    FROM scratch
      # indented ${n}
    COPY $${x} /%{ if true }
    yes%{ endif }
  EOT
  labels = {
    heredoc = <<EOF
  kept ${upper("x")}
EOF
    strip = <<EOF
a
%{~ if true ~}
  b
%{~ endif ~}
c
EOF
  }
}
