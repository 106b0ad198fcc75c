<?php

declare(strict_types=1);

namespace Cascade;

/** 403: the key is right but may not do this, or not from here. */
final class ForbiddenException extends ApiException
{
}
