// Checks that @msgpack/msgpack, set as docs/wire.md says, reads the vectors. With an
// argument it writes its encodings to that file.
import { readFileSync, writeFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { decode, encode, decodeTimestampToTimeSpec, encodeTimeSpecToTimestamp, EXT_TIMESTAMP, ExtensionCodec } from "@msgpack/msgpack";

// Time keeps the nanoseconds, which a Date has no room for.
class Time {
  constructor({ sec, nsec }) { this.sec = sec; this.nsec = nsec; }
}
const extensionCodec = new ExtensionCodec();
extensionCodec.register({
  type: EXT_TIMESTAMP,
  encode: (v) => (v instanceof Time ? encodeTimeSpecToTimestamp(v) : null),
  decode: (data) => new Time(decodeTimestampToTimeSpec(data)),
});
const modern = { extensionCodec, useBigInt64: true };
const plain = { useBigInt64: true, rawStrings: true };

// want is what a value of the file is in JavaScript.
function want(v) {
  if (Array.isArray(v)) return v.map(want);
  if (v === null || typeof v !== "object") return v;
  const [key, ...more] = Object.keys(v);
  if (more.length === 0) {
    switch (key) {
      case "int": return BigInt(v.int);
      case "float": return Number(v.float.replace("+Inf", "Infinity"));
      case "bytes": return new Uint8Array(Buffer.from(v.bytes, "hex"));
      case "time": {
        const [, whole, fraction] = /^([^.Z]*)\.?(\d*)Z$/.exec(v.time);
        return new Time({ sec: Date.parse(whole + "Z") / 1000, nsec: Number((fraction || "0").padEnd(9, "0")) });
      }
    }
  }
  return Object.fromEntries(Object.entries(v).map(([k, x]) => [k, want(x)]));
}

// wide makes integers that were read as numbers, those of up to 32 bits, BigInts.
function wide(got, as) {
  if (typeof got === "number" && typeof as === "bigint" && Number.isSafeInteger(got)) return BigInt(got);
  if (Array.isArray(got) && Array.isArray(as)) return got.map((g, i) => wide(g, as[i]));
  if (got instanceof Uint8Array && typeof as === "string") return new TextDecoder().decode(got);
  if (got?.constructor === Object && as?.constructor === Object) {
    return Object.fromEntries(Object.entries(got).map(([k, g]) => [k, wide(g, as[k])]));
  }
  return got;
}

// untold is what a value is on P, where bytes and times are told by nothing.
function untold(v) {
  if (Array.isArray(v)) return v.map(untold);
  if (v instanceof Time) return encodeTimeSpecToTimestamp(v);
  if (v?.constructor === Object) return Object.fromEntries(Object.entries(v).map(([k, x]) => [k, untold(x)]));
  return v;
}

const vectors = JSON.parse(readFileSync(new URL("vectors.json", import.meta.url)));
const written = {};
let wrong = 0;
for (const v of vectors) {
  const value = want(v.value);
  const read = (hex, as, options) => wide(decode(new Uint8Array(Buffer.from(hex, "hex")), options), as);
  const fits = (hex, as, options) => isDeepStrictEqual(read(hex, as, options), as);
  const all = [v.modern, ...(v.also ?? []).map((a) => a.hex)];
  if (!all.every((hex) => fits(hex, value, modern)) || !fits(v.plain, untold(value), plain)) {
    console.log(v.name, "is", value, "and reads as", all.map((hex) => read(hex, value, modern)), read(v.plain, value, plain));
    wrong++;
  }
  written[v.name] = Buffer.from(encode(value, modern)).toString("hex");
}
if (process.argv[2]) writeFileSync(process.argv[2], JSON.stringify(written));
console.log(`${vectors.length - wrong} passed, ${wrong} failed`);
process.exit(wrong > 0 ? 1 : 0);
