'use strict';

// What mnist_fn/shared/pictures/preparation.py does from the ink on: bounding box into 20 x 20 keeping its
// aspect, antialiased; centre of mass into pixel 14 of 28 x 28. A test holds the two together.

const SIDE = 28;
const BOX = 20;
const CENTRE = 14;
const INK = 1 / 32;

/** Ink (>= 0, row by row) as the network sees it: 28 x 28 values in 0 to 255; null if there is none. */
function prepare(ink, columns) {
  const peak = ink.reduce((a, b) => Math.max(a, b), 0);
  if (peak === 0) return null;
  const box = cropped(ink, columns, INK * peak);
  const scale = BOX / Math.max(box.rows, box.columns);
  const digit = resized(box, size(box.rows * scale), size(box.columns * scale));
  const byRow = new Float64Array(digit.rows);
  const byColumn = new Float64Array(digit.columns);
  digit.values.forEach((value, i) => {
    byRow[Math.floor(i / digit.columns)] += value;
    byColumn[i % digit.columns] += value;
  });
  const top = start(byRow);
  const left = start(byColumn);
  const brightest = digit.values.reduce((a, b) => Math.max(a, b));
  const picture = new Uint8Array(SIDE * SIDE);
  digit.values.forEach((value, i) => {
    const row = top + Math.floor(i / digit.columns);
    picture[row * SIDE + left + (i % digit.columns)] = Math.floor(value * (255 / brightest) + 0.5);
  });
  return picture;
}

/** mnist_fn/shared/data/spec.py's `pose`: a prepared picture as the run's own pictures stand. */
function pose(picture, { transposed, dark, two }, side = SIDE) {
  if (!picture) return null;
  return picture.map((_, i) => {
    const value = picture[transposed ? (i % side) * side + Math.floor(i / side) : i];
    const level = two ? (value > 127 ? 255 : 0) : value;
    return dark ? 255 - level : level;
  });
}

function size(length) {
  return Math.max(1, Math.floor(length + 0.5));
}

/** The smallest box with all that is stronger than `least`. */
function cropped(ink, columns, least) {
  let top = Infinity, bottom = 0, left = Infinity, right = 0;
  ink.forEach((value, i) => {
    if (value <= least) return;
    const row = Math.floor(i / columns);
    const column = i % columns;
    top = Math.min(top, row);
    bottom = Math.max(bottom, row + 1);
    left = Math.min(left, column);
    right = Math.max(right, column + 1);
  });
  const values = [];
  for (let row = top; row < bottom; row++) {
    values.push(...ink.subarray(row * columns + left, row * columns + right));
  }
  return { rows: bottom - top, columns: right - left, values: Float64Array.from(values) };
}

/** Pillow's antialiased bilinear filter: a triangle as wide as the reduction, along each side. */
function resized(image, rows, columns) {
  const across = weights(image.columns, columns);
  const down = weights(image.rows, rows);
  const narrow = new Float64Array(image.rows * columns);
  for (let row = 0; row < image.rows; row++) {
    for (let column = 0; column < columns; column++) {
      const { first, shares } = across[column];
      shares.forEach((share, k) => {
        narrow[row * columns + column] += share * image.values[row * image.columns + first + k];
      });
    }
  }
  const values = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    const { first, shares } = down[row];
    for (let column = 0; column < columns; column++) {
      shares.forEach((share, k) => {
        values[row * columns + column] += share * narrow[(first + k) * columns + column];
      });
    }
  }
  return { rows, columns, values };
}

/** For each of `length` outputs the inputs that it is made of, and their shares. */
function weights(inputs, length) {
  const step = inputs / length;
  const reach = Math.max(step, 1);
  return Array.from({ length }, (_, i) => {
    const centre = (i + 0.5) * step;
    const first = Math.max(0, Math.trunc(centre - reach + 0.5));
    const end = Math.min(inputs, Math.trunc(centre + reach + 0.5));
    const shares = [];
    for (let k = first; k < end; k++) {
      shares.push(Math.max(0, 1 - Math.abs((k + 0.5 - centre) / reach)));
    }
    const total = shares.reduce((a, b) => a + b);
    return { first, shares: shares.map((share) => share / total) };
  });
}

/** Where the digit begins for its centre of mass to fall into CENTRE, all of it inside. */
function start(mass) {
  const total = mass.reduce((a, b) => a + b);
  const centre = mass.reduce((sum, value, i) => sum + value * i, 0) / total;
  return Math.min(Math.max(Math.floor(CENTRE - centre + 0.5), 0), SIDE - mass.length);
}
