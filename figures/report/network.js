'use strict';

/** The layers of figures/report/network.py's `packed`: each a kernel [in, out] by rows and a bias. */
function unpack({ sizes, weights }) {
  const bytes = Uint8Array.from(atob(weights), (c) => c.charCodeAt(0));
  const halves = new DataView(bytes.buffer);
  const numbers = Float64Array.from({ length: bytes.length / 2 }, (_, i) =>
    fromHalf(halves.getUint16(2 * i, true)));
  let at = 0;
  const take = (n) => numbers.subarray(at, (at += n));
  return sizes.slice(1).map((width, i) => ({ kernel: take(sizes[i] * width), bias: take(width) }));
}

/** IEEE 754 half precision; there are no infinities among weights. */
function fromHalf(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  return sign * (exponent ? 2 ** (exponent - 25) * (1024 + fraction) : 2 ** -24 * fraction);
}

/** Logits of a picture with values in 0 to 255; dense layers with ReLU between them. */
function logits(layers, picture) {
  // to float32 as the training's own pixels
  let x = Float64Array.from(picture, (value) => Math.fround(value / 255));
  layers.forEach(({ kernel, bias }, layer) => {
    const out = Float64Array.from(bias);
    x.forEach((value, i) => {
      if (value === 0 || (layer > 0 && value < 0)) return;
      const row = i * out.length;
      for (let j = 0; j < out.length; j++) out[j] += value * kernel[row + j];
    });
    x = out;
  });
  return x;
}

function softmax(values) {
  const highest = Math.max(...values);
  const parts = Array.from(values, (value) => Math.exp(value - highest));
  const total = parts.reduce((a, b) => a + b);
  return parts.map((part) => part / total);
}
