<?php

declare(strict_types=1);

namespace Cascade;

/** Whether a webhook is from your gateway. Source: https://www.standardwebhooks.com, specification 1.0.0. */
final class Webhook
{
    private const PREFIX = 'whsec_';

    /**
     * The event, once `body` (the raw bytes that came) is known to be signed with the webhook's secret. The same event
     * may come twice: remember its `webhook-id`.
     *
     * @param array<string, string> $headers in any case, or PHP's own $_SERVER
     * @return array{type: string, timestamp: string, data: mixed}
     */
    public static function verify(
        string $secret,
        array $headers,
        string $body,
        int $toleranceS = 300,
        ?int $nowS = null,
    ): array {
        $id = self::header($headers, 'webhook-id');
        $at = self::header($headers, 'webhook-timestamp');
        if (preg_match('/^[0-9]{1,12}$/D', $at) !== 1 || abs(($nowS ?? time()) - (int) $at) > $toleranceS) {
            throw new ForgedWebhookException('its time is too far from ours: an old request sent again, or a wrong clock');
        }
        $expected = base64_encode(hash_hmac('sha256', "$id.$at.$body", self::key($secret), true));
        foreach (explode(' ', self::header($headers, 'webhook-signature')) as $signature) {
            [$version, $value] = explode(',', $signature, 2) + [1 => ''];
            if ($version === 'v1' && hash_equals($expected, $value)) {
                return json_decode($body, true, flags: JSON_THROW_ON_ERROR);
            }
        }
        throw new ForgedWebhookException('no signature matches: a wrong secret, or the body was changed on its way');
    }

    private static function key(string $secret): string
    {
        $written = str_starts_with($secret, self::PREFIX) ? substr($secret, strlen(self::PREFIX)) : $secret;
        $key = base64_decode($written, true);
        if ($key === false || $key === '') {
            $words = 'the secret is not one: it is `whsec_` and base64, as the gateway showed it';
            throw new \InvalidArgumentException($words);
        }
        return $key;
    }

    /** @param array<string, string> $headers */
    private static function header(array $headers, string $name): string
    {
        $asServer = 'HTTP_' . strtoupper(strtr($name, '-', '_'));
        foreach ($headers as $key => $value) {
            if (strtolower((string) $key) === $name || $key === $asServer) {
                return (string) $value;
            }
        }
        throw new ForgedWebhookException("the header $name is missing");
    }
}
