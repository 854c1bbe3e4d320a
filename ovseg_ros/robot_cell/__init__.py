"""The robot cell: a simulated tabletop world, its data set, and a moving-camera recording.

Reading (`dataset`, `recording`) needs numpy and OpenCV only; rendering (`render`, `sequence`,
`world`) also needs pybullet: `pip install pybullet`.
"""
