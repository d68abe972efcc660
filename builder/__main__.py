from builder.cli.main import run

raise SystemExit(run())
