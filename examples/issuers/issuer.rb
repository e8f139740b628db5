#!/usr/bin/env ruby
# A reviewer in Ruby: answers every plan that is to be executed with a permit.
#
#     issuer.rb governor|p33 QUANTITY          needs: gem install redis, or Debian's ruby-redis
#
# REDIS_URL says where Redis is. With PERMIT_KEY=<key id>:<secret in hex> every permit is signed.
require "digest"
require "json"
require "openssl"
require "redis"
require "securerandom"

$stdout.sync = true
ROLE, QUANTITY = ARGV[0], Float(ARGV[1])
KEY_ID, SECRET = ENV.fetch("PERMIT_KEY", "").split(":")

# Each text with its length in bytes before it, in 4 bytes, the highest first.
def packed(texts)
  texts.map { |text| [text.bytesize].pack("N") + text.b }.join
end

# Of one entry of the plan stream: every field but timestamp, sorted by the bytes of the names.
def plan_digest(fields)
  counted = fields.reject { |name, _| name == "timestamp" }.sort_by { |name, _| name.b }
  Digest::SHA256.hexdigest(packed(["apply-plan-v1", *counted.flatten]))
end

# Appends the seal to this very text; do not encode it again.
def sign(permit, fields)
  plan, digest = fields["plan_id"], plan_digest(fields)
  now = (Time.now.to_r * 1000).to_i
  issued, expires, nonce = now.to_s, (now + 60_000).to_s, SecureRandom.hex(16)
  message = packed(["apply-permit-v1", KEY_ID, ROLE, plan, digest, permit, issued, expires, nonce])
  mac = OpenSSL::HMAC.hexdigest("SHA256", [SECRET].pack("H*"), message)
  seal = ["v1", KEY_ID, ROLE, plan, digest, issued, expires, nonce, mac].join(":")
  %(#{permit[0...-1]},"signed":"#{seal}"})
end

# The permit for one plan. Say no with granted or allow false and a reason.
def review(fields)
  common = { symbol: fields["symbol"], created_at: Time.now.to_f }
  case ROLE
  when "governor" then { granted: true, decision: "EXECUTE", computed_qty: QUANTITY, **common }
  else { allow: true, safe_close_qty: QUANTITY, **common }
  end
end

store = Redis.new(url: ENV.fetch("REDIS_URL", "redis://127.0.0.1:6379"))
# From the newest entry on. Not "$": what comes between two reads would be missed.
last = store.xrevrange("quantum:stream:apply.plan", count: 1).dig(0, 0) || "0"
puts "ready"
loop do
  store.xread("quantum:stream:apply.plan", last, block: 1000).each_value do |entries|
    entries.each do |id, fields|
      last = id
      next unless fields["decision"] == "EXECUTE"

      # to_json, not to_s: a hash's own text is no JSON. NaN raises, as it should. A BigDecimal would become a
      # string, and a permit with it is a no.
      permit = review(fields).to_json
      permit = sign(permit, fields) if KEY_ID
      name = "quantum:permit:#{"#{ROLE}:" unless ROLE == "governor"}#{fields["plan_id"]}"
      store.set(name, permit, ex: 60)
      puts "#{name} #{permit}"
    end
  end
end
