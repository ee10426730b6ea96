"""What the Janus problem looks like, made on purpose: the truth for metrics that look for it."""

from dataclasses import replace

import numpy as np

from redream.mini.scene import Scene


def with_second_face(scene: Scene) -> Scene:
    """The front half, glued to itself back to back."""
    half = scene.vertices[scene.faces].mean(axis=1)[:, 2] > 0
    turn = np.array([-1.0, 1.0, -1.0])
    return replace(
        scene,
        vertices=np.concatenate([scene.vertices, scene.vertices * turn]),
        normals=np.concatenate([scene.normals, scene.normals * turn]),
        faces=np.concatenate([scene.faces[half], scene.faces[half] + len(scene.vertices)]),
        face_role=np.concatenate([scene.face_role[half]] * 2),
    )
