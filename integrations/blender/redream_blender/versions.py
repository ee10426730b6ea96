"""Which Blender this needs. Of the standard library alone, as all here that does not say `bpy`."""

OLDEST = (4, 2, 0)


def refusal(version: tuple[int, ...]) -> str:
    """Why a version of Blender cannot be used, in one line; empty where it can."""
    if tuple(version) >= OLDEST:
        return ""
    found = ".".join(map(str, version))
    return f"ReDream needs Blender 4.2 or newer, and this is {found}: install a newer Blender"
