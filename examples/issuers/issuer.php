#!/usr/bin/env php
<?php
// A reviewer in PHP: answers every plan that is to be executed with a permit.
//
//     issuer.php governor|p33 QUANTITY          needs: the extension redis (pecl, or Debian's php-redis)
//
// REDIS_URL says where Redis is. With PERMIT_KEY=<key id>:<secret in hex> every permit is signed.
declare(strict_types=1);

[$role, $quantity] = [$argv[1], (float) $argv[2]];
[$keyId, $secret] = explode(':', getenv('PERMIT_KEY') ?: ':');

/** Each text with its length in bytes before it, in 4 bytes, the highest first. */
function packed(array $texts): string
{
    return implode('', array_map(fn (string $text) => pack('N', strlen($text)) . $text, $texts));
}

/** Of one entry of the plan stream: every field but timestamp, sorted by the bytes of the names. */
function planDigest(array $fields): string
{
    unset($fields['timestamp']);
    ksort($fields, SORT_STRING);
    $texts = ['apply-plan-v1'];
    foreach ($fields as $name => $value) {
        array_push($texts, (string) $name, $value);
    }
    return hash('sha256', packed($texts));
}

/** Appends the seal to this very text; do not encode it again. */
function sign(string $permit, array $fields, string $role, string $keyId, string $secret): string
{
    [$plan, $digest] = [$fields['plan_id'], planDigest($fields)];
    $now = (int) (microtime(true) * 1000);
    [$issued, $expires, $nonce] = [(string) $now, (string) ($now + 60000), bin2hex(random_bytes(16))];
    $message = packed(['apply-permit-v1', $keyId, $role, $plan, $digest, $permit, $issued, $expires, $nonce]);
    $mac = hash_hmac('sha256', $message, hex2bin($secret));
    $seal = implode(':', ['v1', $keyId, $role, $plan, $digest, $issued, $expires, $nonce, $mac]);
    return substr($permit, 0, -1) . ',"signed":"' . $seal . '"}';
}

/** The permit for one plan. Say no with granted or allow false and a reason. */
function review(array $fields, string $role, float $quantity): array
{
    $common = ['symbol' => $fields['symbol'], 'created_at' => microtime(true)];
    return $role === 'governor'
        ? ['granted' => true, 'decision' => 'EXECUTE', 'computed_qty' => $quantity] + $common
        : ['allow' => true, 'safe_close_qty' => $quantity] + $common;
}

$at = parse_url(getenv('REDIS_URL') ?: 'redis://127.0.0.1:6379');
$store = new Redis();
$store->connect($at['host'], $at['port'] ?? 6379);
// No serializer and no compression: either would change the bytes, and a permit in them is a no.
$store->setOption(Redis::OPT_SERIALIZER, Redis::SERIALIZER_NONE);
// From the newest entry on. Not '$': what comes between two reads would be missed.
$last = array_key_first($store->xRevRange('quantum:stream:apply.plan', '+', '-', 1) ?: []) ?? '0';
echo "ready\n";
while (true) {
    $read = $store->xRead(['quantum:stream:apply.plan' => $last], 64, 1000) ?: [];
    foreach ($read['quantum:stream:apply.plan'] ?? [] as $id => $fields) {
        $last = $id;
        if (($fields['decision'] ?? '') !== 'EXECUTE') {
            continue;
        }
        // JSON_THROW_ON_ERROR: INF and NAN throw. An array without json_encode would be written as "Array".
        $permit = json_encode(review($fields, $role, $quantity), JSON_THROW_ON_ERROR);
        if ($keyId !== '') {
            $permit = sign($permit, $fields, $role, $keyId, $secret);
        }
        $name = 'quantum:permit:' . ($role === 'governor' ? '' : "$role:") . $fields['plan_id'];
        $store->set($name, $permit, ['EX' => 60]);
        echo "$name $permit\n";
    }
}
