"""A guest of one command, step by step: made, started, used, and deleted by that."""

from pyro_mcp import NotFoundError, Pyro

pyro = Pyro()
created = pyro.create_vm(environment="debian:12", ttl_seconds=600)
vm_id = created["vm_id"]
print(f"created, {created['state']}")
try:
    print(pyro.start_vm(vm_id)["state"])
    # The guest is gone when this returns.
    result = pyro.exec_vm(vm_id, command="git --version", timeout_seconds=30)
except BaseException:
    pyro.delete_vm(vm_id)
    raise
print(result["stdout"], end="")
try:
    pyro.status_vm(vm_id)
except NotFoundError as error:
    print(f"deleted, so {error.code}")
