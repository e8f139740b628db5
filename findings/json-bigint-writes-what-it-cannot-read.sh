#!/usr/bin/env bash
# json-bigint 1.0.0 with bignumber.js 11.1.5, on Node.
#
# Behaviour: stringify writes a BigNumber that is no number as NaN, and one that is not finite as Infinity, without
# quotes: no JSON, and parse of the same package refuses it. A number of JavaScript's own that is none becomes null, in
# the same call. So an object with both kinds is half of it readable.
# Expected: null for both, as JSON.stringify and this package do for JavaScript's numbers.
#
# Prints what is written and what the package's own parser says, and exits 0 as long as that is so, 1 once it is
# different.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm install --silent --prefix "$work" json-bigint@1.0.0 bignumber.js@11.1.5
cd "$work"
node <<'JAVASCRIPT'
const json = require("json-bigint");
const BigNumber = require("bignumber.js").BigNumber ?? require("bignumber.js");
console.log("json-bigint", require("json-bigint/package.json").version, "bignumber.js", require("bignumber.js/package.json").version, "node", process.version);
const written = json.stringify({ big: new BigNumber(0).div(0), own: 0 / 0 });
console.log("written:", written);
let read = "read";
try {
  json.parse(written);
} catch (error) {
  read = `refused: ${error.message}`;
}
console.log("by its own parser", read);
const same = written === '{"big":NaN,"own":null}' && read.startsWith("refused");
if (!same) console.error("this has changed");
process.exit(same ? 0 : 1);
JAVASCRIPT
