"""`keras_model.py DIR`: DIR/bundle and DIR/two of Keras models on the backend of KERAS_BACKEND."""

import sys
from pathlib import Path

import keras
import numpy as np

from millrace.models.frameworks import bundle_keras

place = Path(sys.argv[1])
random = np.random.default_rng(0)
rows = random.normal(size=(64, 4)).astype(np.float32)
model = keras.Sequential(
    [keras.Input((4,), name="x"), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(3, "softmax")]
)
model.compile(loss="sparse_categorical_crossentropy")
model.fit(rows, rows[:, 0] > 0, epochs=1, verbose=0)
model.save(place / "model.keras")
bundle = bundle_keras(place / "model.keras", rows, place / "bundle", outputs=["probabilities"])
others = random.normal(size=(9, 4)).astype(np.float32)
np.savez(place / "others.npz", x=others, probabilities=model.predict(others, verbose=0))

left, right = keras.Input((2,), name="left"), keras.Input((3,), name="right")
both = keras.layers.Concatenate()([left, right])
two = keras.Model([left, right], [keras.layers.Dense(1)(both), keras.layers.Dense(2)(both)])
sample = {"left": rows[:, :2], "right": rows[:, 1:]}
bundle_keras(two, sample, place / "two", outputs=["value", "pair"])
print(bundle.manifest.framework)
