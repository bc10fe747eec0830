// Loops over gradients, 128 bits at a time, in WebAssembly's text form; JavaScript stands in for the macros that the
// form has not, because V8 does not inline WebAssembly functions. `npm run generate` assembles it into
// shared/kernels/kernelsWasm.ts; twins in plain JavaScript are in test/support/plainKernels.ts. Addresses and lengths are in
// bytes of the module's own memory, whose first 64 KiB are its own: kernels.ts copies blocks in and out behind them.
// All float32 arithmetic is IEEE 754, rounding to nearest even.

/** XXH3's default secret: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md */
const secret = [
  "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221",
  "b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8",
  "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb",
  "170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e",
].join("");
const secretAt = 64;
/** Four pairs of 64-bit accumulators, and what is to be added to them crosswise. */
const pairs = [0, 1, 2, 3];
const start = [
  "0x00000000C2B2AE3D 0x9E3779B185EBCA87",
  "0xC2B2AE3D27D4EB4F 0x165667B19E3779F9",
  "0x85EBCA77C2B2AE63 0x0000000085EBCA77",
  "0x27D4EB2F165667C5 0x000000009E3779B1",
];

const splat = (value) => `(v128.const i32x4 ${value} ${value} ${value} ${value})`;
const add = (offset) => `
      (v128.store offset=${offset} (local.get $target)
        (f32x4.add (v128.load offset=${offset} (local.get $target)) (v128.load offset=${offset} (local.get $source))))`;

/** bfloat16 of four float32, in the low half of each lane: rounded to nearest even, every NaN 0x7fc0. */
const round = (values, at) => `
      (local.set ${values} ${at})
      (local.set ${values} (v128.bitselect
        (i32x4.shr_u
          (i32x4.add
            (i32x4.add (local.get ${values}) ${splat("0x7fff")})
            (v128.and (i32x4.shr_u (local.get ${values}) (i32.const 16)) ${splat(1)}))
          (i32.const 16))
        ${splat("0x7fc0")}
        (f32x4.eq (local.get ${values}) (local.get ${values}))))`;

/** Accumulates 16 bytes of data under 16 bytes of secret. */
const mix = (pair, key) => `
      (local.set $data (v128.load offset=${16 * pair} (local.get $at)))
      (local.set $cross${pair} (i64x2.add (local.get $cross${pair}) (local.get $data)))
      (local.set $data (v128.xor (local.get $data) (v128.load offset=${16 * pair} ${key})))
      (local.set $sum${pair} (i64x2.add
        (local.get $sum${pair})
        (i64x2.extmul_low_i32x4_u
          (i8x16.shuffle 0 1 2 3 8 9 10 11 0 1 2 3 8 9 10 11 (local.get $data) (local.get $data))
          (i8x16.shuffle 4 5 6 7 12 13 14 15 4 5 6 7 12 13 14 15 (local.get $data) (local.get $data)))))`;

/** Adds to each accumulator of a pair the words that went to the other. */
const uncross = (pair) => `
      (local.set $sum${pair} (i64x2.add
        (local.get $sum${pair})
        (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $cross${pair}) (local.get $cross${pair}))))
      (local.set $cross${pair} (v128.const i64x2 0 0))`;

const scramble = (pair) => `
      (local.set $sum${pair} (i64x2.mul
        (v128.xor
          (v128.xor (local.get $sum${pair}) (i64x2.shr_u (local.get $sum${pair}) (i32.const 47)))
          (v128.load (i32.const ${secretAt + 128 + 16 * pair})))
        (v128.const i64x2 0x9E3779B1 0x9E3779B1)))`;

const foldPair = (pair) => `
    (local.set $hash (i64.add (local.get $hash) (call $fold
      (i64.xor (i64x2.extract_lane 0 (local.get $sum${pair})) (i64.load (i32.const ${secretAt + 11 + 16 * pair})))
      (i64.xor (i64x2.extract_lane 1 (local.get $sum${pair})) (i64.load (i32.const ${secretAt + 19 + 16 * pair}))))))`;

/** Where `sumOf` leaves two checksums. */
const checksumsAt = 32;
const lanes = [0, 1];

/** A word whose upper half is in its lower half too: a sign that is added twice would be lost at its upper end. */
const spread = (data) => `(v128.xor ${data} (i64x2.shr_u ${data} (i32.const 32)))`;

const addSettled = (lane) => `
      (local.set $data (f32x4.add
        (v128.load offset=${16 * lane} (local.get $a))
        (v128.load offset=${16 * lane} (local.get $b))))
      (local.set $data (v128.bitselect
        (local.get $data)
        ${splat("0x7fc00000")}
        (f32x4.eq (local.get $data) (local.get $data))))
      (v128.store offset=${16 * lane} (local.get $target) (local.get $data))`;

const addChecked = (lane) => `${addSettled(lane)}
      (local.set $own${lane} (i64x2.add (local.get $own${lane}) ${spread("(local.get $data)")}))
      (local.set $owns${lane} (i64x2.add (local.get $owns${lane}) (local.get $own${lane})))
      (local.set $data (v128.load offset=${16 * lane} (local.get $b)))
      (local.set $sum${lane} (i64x2.add (local.get $sum${lane}) ${spread("(local.get $data)")}))
      (local.set $sums${lane} (i64x2.add (local.get $sums${lane}) (local.get $sum${lane})))`;

/** Mixes a word into the hash. */
const stir = (word) => `
    (local.set $hash (i64.mul
      (i64.rotl (i64.xor (local.get $hash) (i64.mul ${word} (i64.const 0xC2B2AE3D27D4EB4F))) (i64.const 31))
      (i64.const 0x9E3779B185EBCA87)))`;

const each = (emit) => pairs.map(emit).join("");

export const source = `
(module
  (memory (export "memory") 24 65536 shared)
  (data (i32.const ${secretAt}) "${secret.replaceAll(/../g, "\\$&")}")

  ;; target[i] += source[i] for \`length\` bytes of float32.
  (func (export "add") (param $target i32) (param $source i32) (param $length i32)
    (local $end i32) (local $wide i32)
    (local.set $end (i32.add (local.get $target) (local.get $length)))
    (local.set $wide (i32.add (local.get $target) (i32.and (local.get $length) (i32.const -64))))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $target) (local.get $wide)))${[0, 16, 32, 48].map(add).join("")}
      (local.set $target (i32.add (local.get $target) (i32.const 64)))
      (local.set $source (i32.add (local.get $source) (i32.const 64)))
      (br $next)))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $target) (local.get $end)))
      (f32.store (local.get $target) (f32.add (f32.load (local.get $target)) (f32.load (local.get $source))))
      (local.set $target (i32.add (local.get $target) (i32.const 4)))
      (local.set $source (i32.add (local.get $source) (i32.const 4)))
      (br $next))))

  ;; target[i] = a[i] + b[i] for \`length\` bytes of float32, which go on to a whole number of 32, every NaN 0x7fc00000;
  ;; the checksums of b and of the target are left at ${checksumsAt} and ${checksumsAt + 8}.
  (func (export "sumOf") (param $target i32) (param $a i32) (param $b i32) (param $length i32)
    (local $end i32) (local $wide i32) (local $data v128)
    ${lanes.map((lane) => `(local $sum${lane} v128) (local $sums${lane} v128) (local $own${lane} v128) (local $owns${lane} v128)`).join(" ")}
    (local.set $end (i32.add (local.get $target) (local.get $length)))
    (local.set $wide (i32.add (local.get $target) (i32.and (local.get $length) (i32.const -32))))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $target) (local.get $wide)))${lanes.map(addChecked).join("")}
      (local.set $target (i32.add (local.get $target) (i32.const 32)))
      (local.set $a (i32.add (local.get $a) (i32.const 32)))
      (local.set $b (i32.add (local.get $b) (i32.const 32)))
      (br $next)))
    (if (i32.lt_u (local.get $target) (local.get $end)) (then${lanes.map(addSettled).join("")}))
    (i64.store (i32.const ${checksumsAt}) (call $finish
      (local.get $sum0) (local.get $sum1) (local.get $sums0) (local.get $sums1)
      (local.get $b) (local.get $length)))
    (i64.store (i32.const ${checksumsAt + 8}) (call $finish
      (local.get $own0) (local.get $own1) (local.get $owns0) (local.get $owns1)
      (local.get $target) (local.get $length))))

  ;; Two sums over 64-bit words in each of four lanes, of the words and of the sums before them: whatever happens to one
  ;; word changes the first, whatever is moved the second. A third of XXH3's work, for memory that is near.
  (func (export "checksum") (param $at i32) (param $length i32) (result i64)
    (local $wide i32) (local $data v128) ${lanes.map((lane) => `(local $sum${lane} v128) (local $sums${lane} v128)`).join(" ")}
    (local.set $wide (i32.add (local.get $at) (i32.and (local.get $length) (i32.const -32))))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $at) (local.get $wide)))${lanes
        .map(
          (lane) => `
      (local.set $data (v128.load offset=${16 * lane} (local.get $at)))
      (local.set $sum${lane} (i64x2.add (local.get $sum${lane}) ${spread("(local.get $data)")}))
      (local.set $sums${lane} (i64x2.add (local.get $sums${lane}) (local.get $sum${lane})))`,
        )
        .join("")}
      (local.set $at (i32.add (local.get $at) (i32.const 32)))
      (br $next)))
    (call $finish
      (local.get $sum0) (local.get $sum1) (local.get $sums0) (local.get $sums1)
      (local.get $at) (local.get $length)))

  ;; One number of all sums, the up to 31 bytes at \`at\` that they leave out, and the length.
  (func $finish (param $sum0 v128) (param $sum1 v128) (param $sums0 v128) (param $sums1 v128) (param $at i32)
    (param $length i32) (result i64)
    (local $hash i64) (local $end i32)
    (local.set $hash (i64.extend_i32_u (local.get $length)))
    ${["sum0", "sum1", "sums0", "sums1"]
      .flatMap((sums) => [0, 1].map((lane) => stir(`(i64x2.extract_lane ${lane} (local.get $${sums}))`)))
      .join("")}
    (local.set $end (i32.add (local.get $at) (i32.and (local.get $length) (i32.const 31))))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $at) (local.get $end)))${stir("(i64.load8_u (local.get $at))")}
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br $next)))
    (i64.xor (local.get $hash) (i64.shr_u (local.get $hash) (i64.const 32))))

  ;; Puts the quiet NaN 0x7fc00000 in the place of every NaN: which one an addition yields depends on the processor.
  ;; Goes on to a whole number of 16 bytes.
  (func (export "settleNaNs") (param $at i32) (param $length i32)
    (local $end i32) (local $values v128)
    (local.set $end (i32.add (local.get $at) (local.get $length)))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
      (local.set $values (v128.load (local.get $at)))
      (v128.store (local.get $at)
        (v128.bitselect
          (local.get $values)
          ${splat("0x7fc00000")}
          (f32x4.eq (local.get $values) (local.get $values))))
      (local.set $at (i32.add (local.get $at) (i32.const 16)))
      (br $next))))

  ;; Writes float32 as bfloat16; \`length\` counts the float32's bytes and goes on to a whole number of 32.
  (func (export "encodeBfloat16") (param $target i32) (param $source i32) (param $length i32)
    (local $end i32) (local $low v128) (local $high v128)
    (local.set $end (i32.add (local.get $source) (local.get $length)))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $source) (local.get $end)))
      ${round("$low", "(v128.load (local.get $source))")}
      ${round("$high", "(v128.load offset=16 (local.get $source))")}
      (v128.store (local.get $target) (i16x8.narrow_i32x4_u (local.get $low) (local.get $high)))
      (local.set $target (i32.add (local.get $target) (i32.const 16)))
      (local.set $source (i32.add (local.get $source) (i32.const 32)))
      (br $next))))

  ;; Writes bfloat16 as float32, exactly; \`length\` counts the float32's bytes and goes on to a whole number of 32.
  (func (export "decodeBfloat16") (param $target i32) (param $source i32) (param $length i32)
    (local $end i32) (local $values v128)
    (local.set $end (i32.add (local.get $target) (local.get $length)))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $target) (local.get $end)))
      (local.set $values (v128.load (local.get $source)))
      (v128.store (local.get $target)
        (i32x4.shl (i32x4.extend_low_i16x8_u (local.get $values)) (i32.const 16)))
      (v128.store offset=16 (local.get $target)
        (i32x4.shl (i32x4.extend_high_i16x8_u (local.get $values)) (i32.const 16)))
      (local.set $target (i32.add (local.get $target) (i32.const 32)))
      (local.set $source (i32.add (local.get $source) (i32.const 16)))
      (br $next))))

  ;; The low and the high half of a 128-bit product, xored.
  (func $fold (param $a i64) (param $b i64) (result i64)
    (local $aLow i64) (local $bLow i64) (local $lows i64) (local $high i64) (local $cross i64)
    (local.set $aLow (i64.and (local.get $a) (i64.const 0xffffffff)))
    (local.set $bLow (i64.and (local.get $b) (i64.const 0xffffffff)))
    (local.set $a (i64.shr_u (local.get $a) (i64.const 32)))
    (local.set $b (i64.shr_u (local.get $b) (i64.const 32)))
    (local.set $lows (i64.mul (local.get $aLow) (local.get $bLow)))
    (local.set $high (i64.mul (local.get $a) (local.get $bLow)))
    (local.set $cross
      (i64.add
        (i64.add (i64.shr_u (local.get $lows) (i64.const 32)) (i64.and (local.get $high) (i64.const 0xffffffff)))
        (i64.mul (local.get $aLow) (local.get $b))))
    (i64.xor
      (i64.add
        (i64.add (i64.shr_u (local.get $high) (i64.const 32)) (i64.shr_u (local.get $cross) (i64.const 32)))
        (i64.mul (local.get $a) (local.get $b)))
      (i64.or
        (i64.shl (local.get $cross) (i64.const 32))
        (i64.and (local.get $lows) (i64.const 0xffffffff)))))

  ;; XXH3 with 64 bits, seed 0, of more than 240 bytes: stripes of 64 bytes under a secret that moves on by 8 bytes with
  ;; each; after every 16 of them, unless they are the last, a scramble; then the last 64 bytes once more.
  (func (export "xxh3") (param $at i32) (param $length i32) (result i64)
    (local $end i32) (local $key i32) (local $hash i64) (local $data v128)
    ${each((pair) => `(local $sum${pair} v128) (local $cross${pair} v128) `)}
    ${each((pair) => `(local.set $sum${pair} (v128.const i64x2 ${start[pair]}))\n    `)}
    (local.set $end (i32.add (local.get $at) (local.get $length)))
    (local.set $key (i32.const ${secretAt}))
    (block $done (loop $stripe
      (br_if $done (i32.ge_u (i32.add (local.get $at) (i32.const 64)) (local.get $end)))
      ${each((pair) => mix(pair, "(local.get $key)"))}
      (local.set $at (i32.add (local.get $at) (i32.const 64)))
      (local.set $key (i32.add (local.get $key) (i32.const 8)))
      (br_if $stripe (i32.lt_u (local.get $key) (i32.const ${secretAt + 128})))
      ${each(uncross)}${each(scramble)}
      (local.set $key (i32.const ${secretAt}))
      (br $stripe)))
    (local.set $at (i32.sub (local.get $end) (i32.const 64)))
    ${each((pair) => mix(pair, `(i32.const ${secretAt + 121})`))}${each(uncross)}
    (local.set $hash (i64.mul (i64.extend_i32_u (local.get $length)) (i64.const 0x9E3779B185EBCA87)))${each(foldPair)}
    (local.set $hash (i64.xor (local.get $hash) (i64.shr_u (local.get $hash) (i64.const 37))))
    (local.set $hash (i64.mul (local.get $hash) (i64.const 0x165667919E3779F9)))
    (i64.xor (local.get $hash) (i64.shr_u (local.get $hash) (i64.const 32)))))
`;
