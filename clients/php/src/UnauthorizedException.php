<?php

declare(strict_types=1);

namespace Cascade;

/** 401: no key, a wrong or an expired one, or keys of different accounts. */
final class UnauthorizedException extends ApiException
{
}
