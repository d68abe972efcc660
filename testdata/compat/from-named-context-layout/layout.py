import hashlib, io, json, os, tarfile
os.makedirs("layout/blobs/sha256")
def blob(data, media):
    digest = hashlib.sha256(data).hexdigest()
    open(f"layout/blobs/sha256/{digest}", "wb").write(data)
    return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(data)}
tar = io.BytesIO()
with tarfile.open(fileobj=tar, mode="w") as t:
    member = tarfile.TarInfo("f"); member.size = 2; t.addfile(member, io.BytesIO(b"x\n"))
layer = blob(tar.getvalue(), "application/vnd.oci.image.layer.v1.tar")
config = blob(json.dumps({"architecture": "amd64", "os": "linux", "author": "me", "config": {"Env": ["A=b"], "Labels": {"l": "1"}, "User": "7", "Cmd": ["c"]},
    "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}, "history": [{"created_by": "hand", "comment": "made"}]}).encode(), "application/vnd.oci.image.config.v1+json")
manifest = blob(json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": [layer]}).encode(), "application/vnd.oci.image.manifest.v1+json")
manifest["annotations"] = {"org.opencontainers.image.ref.name": "one"}
json.dump({"schemaVersion": 2, "manifests": [manifest]}, open("layout/index.json", "w"))
open("layout/oci-layout", "w").write('{"imageLayoutVersion": "1.0.0"}')
