<?php

declare(strict_types=1);

namespace Cascade;

/**
 * When to try a request again. That is safe for sends: each carries an `Idempotency-Key`, the same in every try, so that
 * the gateway answers a repeat with the first answer and sends nothing again.
 *
 * `most`: tries after the first. The pause before the n-th is random up to `firstS` * 2^(n-1), at most `longestS`, and
 * never shorter than the gateway asked for; one that asks for more than `patienceS` is not waited for.
 */
final class Retries
{
    private const NOT_DONE = [429, 503];
    private const PERHAPS_DONE = [500, 502, 504];

    public function __construct(
        public readonly int $most = 5,
        public readonly float $firstS = 0.5,
        public readonly float $longestS = 30.0,
        public readonly float $patienceS = 60.0,
    ) {
    }

    /** How long to wait after the try number `tried`, from 1; null: give up. */
    public function pauseS(CascadeException $failure, int $tried, bool $isRepeatable): ?float
    {
        if ($tried > $this->most || !self::mayRepeat($failure, $isRepeatable)) {
            return null;
        }
        $askedS = $failure instanceof ApiException ? $failure->retryAfterS ?? 0.0 : 0.0;
        if ($askedS > $this->patienceS) {
            return null;
        }
        $ownS = mt_rand() / mt_getrandmax() * min($this->firstS * 2 ** ($tried - 1), $this->longestS);
        return max($ownS, $askedS);
    }

    private static function mayRepeat(CascadeException $failure, bool $isRepeatable): bool
    {
        if ($failure instanceof UnreachableException) {
            return $failure->isUnsent || $isRepeatable;
        }
        return $failure instanceof ApiException
            && (in_array($failure->status, self::NOT_DONE, true)
                || ($isRepeatable && in_array($failure->status, self::PERHAPS_DONE, true)));
    }
}
