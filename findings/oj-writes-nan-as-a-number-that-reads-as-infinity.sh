#!/usr/bin/env bash
# Oj 3.14.2 for Ruby (Debian 12's ruby-oj 3.14.2-1+deb12u1), in its default mode.
#
# Behaviour: Oj.dump writes Float::NAN as the number 3.3e14159265358979323846, which is valid JSON. Every other
# reader takes it for infinity, and so does Oj.load: a value that compares false with every threshold comes back as one
# that passes every threshold. Infinity is written as 3.0e14159265358979323846.
# Expected: the refusal that :compat and :strict give, or null as :rails does.
#
# Prints what is written and what three readers make of it, and exits 0 as long as that is so, 1 once it is
# different. Needs ruby 3.1, node and python3.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
apt-get download -qq ruby-oj=3.14.2-1+deb12u1 2>/dev/null
dpkg-deb --extract ruby-oj_*.deb .
library=$(dirname "$(find . -name oj.rb)") extension=$(dirname "$(dirname "$(find . -name oj.so)")")
cat >write.rb <<'RUBY'
require "oj"
written = Oj.dump({ "score" => Float::NAN })
warn "Oj #{Oj::VERSION} on ruby #{RUBY_VERSION}"
warn "Oj.dump of NaN: #{written}"
warn "Oj.load of that: #{Oj.load(written)}"
warn "above 0.8, before: #{Float::NAN > 0.8}, after: #{Oj.load(written)["score"] > 0.8}"
print written
exit Oj.load(written)["score"].infinite? == 1
RUBY
written=$(ruby -I "$library" -I "$extension" write.rb)
python=$(python3 -c 'import json, sys; print(json.loads(sys.argv[1])["score"])' "$written")
node=$(node -p 'JSON.parse(process.argv[1]).score' "$written")
echo "Python's json reads $python, Node's JSON.parse reads $node"
[ "$written $python $node" = '{"score":3.3e14159265358979323846} inf Infinity' ] || { echo "this has changed" >&2; exit 1; }
