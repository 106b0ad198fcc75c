<?php

declare(strict_types=1);

namespace Cascade;

/**
 * The gateway refused. `errorCode` is one of the contract's; `field` the field at fault, and `index` its message's place
 * in the list that you gave, from 0; `details` further faults with the same four keys.
 */
class ApiException extends CascadeException
{
    private const BY_STATUS = [
        400 => InvalidRequestException::class,
        401 => UnauthorizedException::class,
        403 => ForbiddenException::class,
        404 => NotFoundException::class,
        429 => RateLimitedException::class,
    ];

    public readonly string $errorCode;
    public readonly ?string $field;
    public readonly ?int $index;
    /** @var list<array{code: string, message: string, field: ?string, index: ?int}> */
    public readonly array $details;

    /** @param array<string, mixed> $error */
    final public function __construct(
        public readonly int $status,
        array $error,
        public readonly ?float $retryAfterS = null,
        public readonly ?string $requestId = null,
    ) {
        $this->errorCode = $error['code'] ?? 'INTERNAL_ERROR';
        $this->field = $error['field'] ?? null;
        $this->index = $error['index'] ?? null;
        $this->details = $error['details'] ?? [];
        $place = $this->index === null ? '' : " (message $this->index)";
        $more = $this->details === [] ? '' : ', and ' . count($this->details) . ' more';
        parent::__construct("$this->errorCode: " . ($error['message'] ?? "HTTP $status") . $place . $more, $status);
    }

    /** @internal `offset`: the place in the caller's list of the request's first message. */
    public static function of(int $status, mixed $body, int $offset, ?float $retryAfterS): self
    {
        $kind = self::BY_STATUS[$status] ?? ($status >= 500 ? ServerException::class : self::class);
        $error = is_array($body) && is_array($body['error'] ?? null) ? self::moved($body['error'], $offset) : [];
        return new $kind($status, $error, $retryAfterS, is_array($body) ? $body['requestId'] ?? null : null);
    }

    /**
     * @internal The error with places in the caller's list instead of the request.
     * @param array<string, mixed> $error
     * @return array<string, mixed>
     */
    public static function moved(array $error, int $offset): array
    {
        if (isset($error['index'])) {
            $error['index'] += $offset;
        }
        if (isset($error['details'])) {
            $error['details'] = array_map(fn (array $one) => self::moved($one, $offset), $error['details']);
        }
        return $error;
    }
}
