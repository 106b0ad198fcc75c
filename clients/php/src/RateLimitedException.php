<?php

declare(strict_types=1);

namespace Cascade;

/** 429: too many requests, even after the retries. */
final class RateLimitedException extends ApiException
{
}
