#!/usr/bin/env perl
# A reviewer in Perl: answers every plan that is to be executed with a permit.
#
#     issuer.pl governor|p33 QUANTITY          needs: the module Redis (CPAN, or Debian's libredis-perl)
#
# REDIS_URL says where Redis is. With PERMIT_KEY=<key id>:<secret in hex> every permit is signed.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex hmac_sha256_hex);
use JSON::PP ();
use Redis;
use Time::HiRes qw(time);

$| = 1;
my ($role, $quantity) = ($ARGV[0], $ARGV[1] + 0);    # + 0: a number, or JSON would show it as a string
my ($key_id, $secret) = split /:/, $ENV{PERMIT_KEY} // '';
my $json = JSON::PP->new->canonical;

# Each text with its length in bytes before it, in 4 bytes, the highest first.
sub packed { return pack '(N/a*)*', @_ }

# Of one entry of the plan stream: every field but timestamp, sorted by name.
sub plan_digest {
    my %fields = @_;
    delete $fields{timestamp};
    return sha256_hex(packed('apply-plan-v1', map { $_ => $fields{$_} } sort keys %fields));
}

# Appends the seal to this very text; do not encode it again.
sub sign {
    my ($permit, %fields) = @_;
    my ($plan, $digest) = ($fields{plan_id}, plan_digest(%fields));
    my $now = int(time * 1000);
    open my $random, '<:raw', '/dev/urandom' or die "no random bytes: $!";
    read $random, my $nonce, 16;
    my @times = ($now, $now + 60_000, unpack 'H*', $nonce);
    my $message = packed('apply-permit-v1', $key_id, $role, $plan, $digest, $permit, @times);
    my $mac = hmac_sha256_hex($message, pack 'H*', $secret);
    my $seal = join ':', 'v1', $key_id, $role, $plan, $digest, @times, $mac;
    return substr($permit, 0, -1) . qq(,"signed":"$seal"});
}

# The permit for one plan. Say no with granted or allow JSON::PP::false and a reason. 1 is no boolean.
sub review {
    my %fields = @_;
    my %common = (symbol => $fields{symbol}, created_at => time);
    return $role eq 'governor'
        ? { granted => JSON::PP::true, decision => 'EXECUTE', computed_qty => $quantity, %common }
        : { allow => JSON::PP::true, safe_close_qty => $quantity, %common };
}

my ($server) = ($ENV{REDIS_URL} // 'redis://127.0.0.1:6379') =~ m{^redis://([^/]+)};
my $store = Redis->new(server => $server, encoding => undef);
# From the newest entry on. Not '$': what comes between two reads would be missed.
my ($newest) = $store->xrevrange('quantum:stream:apply.plan', '+', '-', 'COUNT', 1);
my $last = $newest ? $newest->[0] : '0';
print "ready\n";
while (1) {
    my $read = $store->xread('BLOCK', 1000, 'STREAMS', 'quantum:stream:apply.plan', $last) or next;
    for my $entry (map { @{ $_->[1] } } @$read) {
        ($last, my $pairs) = @$entry;
        my %fields = @$pairs;
        next unless ($fields{decision} // '') eq 'EXECUTE';

        # encode, not "$permit": a hash reference's own text is HASH(0x…).
        my $permit = $json->encode(review(%fields));
        $permit = sign($permit, %fields) if $key_id;
        my $name = 'quantum:permit:' . ($role eq 'governor' ? '' : "$role:") . $fields{plan_id};
        $store->set($name, $permit, 'EX', 60);
        print "$name $permit\n";
    }
}
