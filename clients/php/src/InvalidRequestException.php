<?php

declare(strict_types=1);

namespace Cascade;

/** 400: a rule of the contract is broken. To repeat it as it is would be no better. */
final class InvalidRequestException extends ApiException
{
}
